# Everything of a machine that a node's agent could leave something in, in sections. What changes by itself is left out.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
section() { printf '== %s\n' "$1"; }

section files
find / -xdev \( -path /tmp -o -path /var/tmp -o -path /var/log -o -path /var/cache -o -path /var/lib/systemd -o -path /var/lib/cloud -o -path /var/lib/dhcp \
	-o -path /var/lib/apt -o -path /var/lib/logrotate -o -path /var/backups \) -prune -o -printf '%p %y %#m %u:%g %l\n'
section content
find /etc /root /opt /usr/local -xdev -type f -exec sha256sum {} +
section run
find /run -xdev \( -path /run/systemd -o -path /run/udev -o -path /run/user -o -path /run/cloud-init -o -path /run/log \) -prune -o -printf '%p %y\n'
section users
getent passwd
getent group
section mounts
findmnt -rno TARGET,FSTYPE,OPTIONS | grep -v '^/run/user\|^/proc/sys/fs/binfmt_misc'
section cgroups
find /sys/fs/cgroup -maxdepth 2 -type d -not -path '*/user.slice/*' -not -path '*/system.slice/*'
section units
find /run/systemd/transient /run/systemd/system /run/systemd/generator* -type f ! -name 'session-*' ! -name 'run-*'
until failed=$(systemctl list-units --failed --no-legend --plain); do :; done
printf '%s\n' "$failed"
section processes
ps -e -o ppid=,comm= | awk '$1 != 2 { print $2 }' | grep -v '^\(bash\|ps\|awk\|grep\|sshd\|agetty\|(sd-pam)\|systemd-.*\|apt.*\)$'
section logs
find /var/log/pods /var/log/containers 2>/dev/null
section links
ip -o link | sed 's/^[0-9]*: //; s/ qlen .*//'
section addresses
ip -o -4 addr | awk '{ print $2, $4 }'
section routes
ip route show table all | grep -v '^\(local\|broadcast\|multicast\)'
section rules
ip rule
section firewall
nft list ruleset
section namespaces
ip netns list
section listeners
ss -Hlntu | awk '{ print $1, $5 }'
section sysctls
sysctl -a 2>/dev/null | grep -v 'random\|\.nr_\|-nr \|-state\|ns_last_pid\|nf_conntrack_count\|perf_event_max\|pty\.nr\|aio-nr\|sched_domain\|boot_id\|hung_task_detect\|fs\.quota\|_reserve_kbytes\|[tu][cd]p_mem'
