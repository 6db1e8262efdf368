# base: noble
# like: node
# The same on Ubuntu 24.04.
