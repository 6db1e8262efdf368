# parent: node
# The node for ansible-core, which needs Python there.
apt-get -q update
apt-get -qy --no-install-recommends install python3 python3-apt
