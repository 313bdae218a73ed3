# The help of detect, whole.
cfine detect --help
