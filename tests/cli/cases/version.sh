# SPDX-License-Identifier: Apache-2.0
# The version, and nothing else.
cfine --version | sed 's/[0-9]*\.[0-9]*\.[0-9]*/N.N.N/'
