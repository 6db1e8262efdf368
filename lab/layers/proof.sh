# parent: twin
# What the modules work with that tests/lab/modules.rs compares, on both of its nodes: with Python, and all the programs they call.
apt-get -q update
apt-get -qy --no-install-recommends install cron locales tzdata python3-debian gpg acl attr libcap2-bin ufw rsync e2fsprogs xfsprogs git \
  debconf-utils unzip zip bzip2 xz-utils zstd
# Its own configuration only: nothing of the machine's locales.
sed -i 's/^[^#]/# &/' /etc/locale.gen
