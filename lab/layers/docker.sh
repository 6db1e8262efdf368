# parent: node
# A worker that still runs Docker, from Debian's package.
apt-get -q update
apt-get -qy --no-install-recommends install docker.io containernetworking-plugins
