# Takes all that it can get of one thing: sh greedy.sh KIND MARK. MARK is only there to be found in a list of processes.
kind=$1
case $kind in
forks)
    bomb() { bomb | bomb & }
    bomb 2>/dev/null
    sleep 3
    exit 9
    ;;
memory) tail /dev/zero ;;
memories)
    # Each holds what it has read until there is no more to read.
    parts=
    for n in 1 2 3 4 5 6 7 8; do
        (head -c 250000000 /dev/zero; sleep 20) | tail >/dev/null &
        parts="$parts $!"
    done
    for part in $parts; do wait "$part" || exit 9; done
    ;;
disk) dd if=/dev/zero of=fill bs=1000000 count=4000 ;;
files)
    n=0
    while [ $n -lt 120 ]; do
        n=$((n + 1))
        dd if=/dev/zero of=fill$n bs=1000000 count=100 2>/dev/null || exit 9
    done
    ;;
log) yes "a line of an endless log" | head -c 4000000000 ;;
esac
