# SPDX-License-Identifier: Apache-2.0
# An interrupt ends the program by that signal and leaves no temporary file.
mkfifo images
cfine detect --model tiny --threshold 1 --raw out.safetensors - < images > /dev/null &
pid=$!
exec 3> images
tries=100
while ! ls | grep -q tmp && [ $tries -gt 0 ]; do
    sleep 0.05
    tries=$((tries - 1))
done
ls | sed 's/tmp-.*/tmp-/'
kill -TERM $pid
{ wait $pid; } 2> /dev/null
echo "exit $?"
ls
