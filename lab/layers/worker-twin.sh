# parent: worker
# The worker with Python: ansible-core runs there too.
apt-get -q update
apt-get -qy --no-install-recommends install python3 python3-apt
