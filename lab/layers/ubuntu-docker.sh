# parent: ubuntu
# A worker that still runs Docker, from Ubuntu's package.
apt-get -q update
apt-get -qy --no-install-recommends install docker.io
