# Tries what foreign code must not be able to do, as an engine or as a step, with nothing but a shell and busybox.
# Every success is a line "LEAKED …"; the last line says how many things were tried. The targets are in the environment:
# READ and WRITE (files and folders), SOCKETS (Unix sockets), PORTS (host:port), all separated by line ends.
tried=0
try() { tried=$((tried + 1)); }
IFS='
'
box=/bin/busybox
[ -x "$box" ] || box=/usr/bin/busybox
for path in $READ; do
    try
    [ -e "$path" ] && echo "LEAKED seen $path"
    cat "$path" 2>/dev/null && echo "LEAKED read $path"
    ls "$path" 2>/dev/null && echo "LEAKED listed $path"
    ln -s "$path" "link$tried" 2>/dev/null
    cat "link$tried" 2>/dev/null && echo "LEAKED read by a link $path"
    ln "$path" "hard$tried" 2>/dev/null && echo "LEAKED linked $path"
    cat "/proc/1/root$path" 2>/dev/null && echo "LEAKED read by /proc/1/root $path"
    cat "/proc/self/root$path" 2>/dev/null && echo "LEAKED read by /proc/self/root $path"
done
for path in $WRITE; do
    try
    (echo pwned >"$path/pwned") 2>/dev/null && echo "LEAKED wrote $path/pwned"
    (echo pwned >>"$path") 2>/dev/null && echo "LEAKED wrote $path"
    mkdir "$path/pwned" 2>/dev/null && echo "LEAKED made a folder in $path"
done
for folder in /proc/[0-9]*; do
    try
    # What an engine's own processes have is its own; what they must not show is the server's.
    if cat "$folder/environ" 2>/dev/null | tr '\0' '\n' | grep -E '^(WES|TES)_(DATA|REDIS_URL|TES_URLS|TOKEN_FILE)='; then
        echo "LEAKED the server's environment in $folder"
    fi
done
for entry in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sysrq-trigger; do
    try
    (echo 1 >"$entry") 2>/dev/null && echo "LEAKED wrote $entry"
done
for name in $SOCKETS; do
    try
    [ -e "$name" ] && echo "LEAKED seen $name"
    (echo | "$box" nc local:"$name") 2>/dev/null && echo "LEAKED connected $name"
done
for address in $PORTS; do
    try
    host=${address%:*}
    if "$box" timeout 2 "$box" nc -w 1 "$host" "${address##*:}" </dev/null 2>/dev/null; then
        echo "LEAKED connected $address"
    fi
done
for address in $PORTS; do
    try
    host=${address%:*}
    # Engines have a way out to public addresses.
    case $host in *:*) host="[$host]" ;; esac
    if printf 'CONNECT %s:%s HTTP/1.1\r\nHost: x\r\n\r\n' "$host" "${address##*:}" |
        "$box" timeout 5 "$box" nc -w 4 127.0.0.1 8766 2>/dev/null | grep 'HTTP/1.1 200'; then
        echo "LEAKED connected by the proxy $address"
    fi
done
try
"$box" mount -t tmpfs none /mnt 2>/dev/null && echo "LEAKED mounted a file system"
try
"$box" unshare -U true 2>/dev/null && [ "$RUNNER" = bubblewrap ] && echo "LEAKED made a user namespace"
try
if [ "$("$box" id -u)" = 0 ]; then echo "LEAKED is root"; fi
echo "tried $tried"
