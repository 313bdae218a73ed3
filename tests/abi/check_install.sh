#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_install.sh BUILD: installs into an empty folder and uses what lies there: the command, and an example built with
# pkg-config, against the shared and against the static library. Both find the model that was installed with them, also
# where PATH leads to the command, and after the installation was moved.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
prefix=$(realpath "$(mktemp -d)")
trap 'rm -rf "$prefix"' EXIT
cmake --install "$1" --prefix "$prefix" >"$prefix/install.log" || { cat "$prefix/install.log"; exit 1; }
config=$(find "$prefix" -name cfine.pc)
export PKG_CONFIG_PATH=${config%/*}
libraries=$(pkg-config --variable=libdir cfine)
model=$source/tests/data/tiny image=$source/tests/data/images/lossy.webp
warnings="-std=c11 -Wall -Wextra -Werror"

cc $warnings "$source/examples/detect.c" $(pkg-config --cflags --libs cfine) -o "$prefix/shared"
LD_LIBRARY_PATH=$libraries "$prefix/shared" "$model" "$image" >"$prefix/shared.txt"
LD_LIBRARY_PATH=$libraries ldd "$prefix/shared" >"$prefix/linked.txt"
grep -q "$prefix" "$prefix/linked.txt" || { echo "not the installed library"; exit 1; }

cc $warnings "$source/examples/detect.c" $(pkg-config --cflags cfine) "$libraries/libcfine.a" \
    $(pkg-config --static --libs cfine | sed 's/-lcfine//') -o "$prefix/static"
"$prefix/static" "$model" "$image" >"$prefix/static.txt"
cmp "$prefix/shared.txt" "$prefix/static.txt"
[ -s "$prefix/shared.txt" ] || { echo "the example found nothing"; exit 1; }

"$prefix/bin/cfine" --version
[ "$("$prefix/bin/cfine" --version | grep -o '[0-9.]*$')" = "$(pkg-config --modversion cfine)" ]
test -f "$prefix/share/man/man1/cfine.1"

if [ -d "$prefix/share/cfine/models" ]; then
    unset CFINE_MODELS
    cat >"$prefix/folder.c" <<'END'
#include <cfine/cfine.h>
#include <stdio.h>
int main(void) {
    char path[4096];
    return !cfine_model_folder(0, path, sizeof path) || puts(path) < 0;
}
END
    cc $warnings "$prefix/folder.c" $(pkg-config --cflags --libs cfine) -o "$prefix/folder"
    mkdir "$prefix/moved"
    mv "$prefix/bin" "$prefix/lib"* "$prefix/share" "$prefix/moved"
    (cd / && PATH=$prefix/moved/bin:$PATH cfine info >"$prefix/info.txt")
    grep -q "^source  *$prefix/moved/share/cfine/models/tabletop$" "$prefix/info.txt"
    [ "$(LD_LIBRARY_PATH=$prefix/moved${libraries#"$prefix"} "$prefix/folder")" = "$prefix/moved/share/cfine/models" ]
fi
