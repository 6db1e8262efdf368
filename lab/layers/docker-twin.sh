# parent: docker
# docker with Python, for ansible-core.
apt-get -q update
apt-get -qy --no-install-recommends install python3 python3-apt
