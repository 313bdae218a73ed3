# SPDX-License-Identifier: Apache-2.0
# The help of detect, whole.
cfine detect --help
