# bash completion for hilum: verbs and options, names of VMs, images and tokens as the machine has them, names of stored machines.
# A machine that is not known is not asked: standard input is no terminal here, and nothing is accepted.

_hilum_ask()
{
	timeout 10 hilum ${_hilum_host:+--host "$_hilum_host"} "$@" </dev/null 2>/dev/null
}

# First column of a table without its title and line.
_hilum_column()
{
	_hilum_ask "$@" | awk 'NR > 2 { print $1 }'
}

_hilum_hosts()
{
	sed -n 's/^\[host\."\{0,1\}\([^]"]*\)"\{0,1\}\]$/\1/p' "${XDG_CONFIG_HOME:-$HOME/.config}/hilum/config" 2>/dev/null
}

_hilum()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb= words= files= i operands=0 _hilum_host=
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-H | --host) _hilum_host=${COMP_WORDS[++i]} ;;
		-o | --output | --ca | --name | -n | --timeout | -t | --delay | -d | --since | --edit | -e | --tail | --linger | --port | -p | --delete | --role | -r) ((i++)) ;;
		-*) ;;
		*) if [ -z "$verb" ]; then verb=${COMP_WORDS[i]}; else ((operands++)); fi ;;
		esac
	done
	case $previous in
	-H | --host) words=$(_hilum_hosts) ;;
	-o | --output) words="table json" ;;
	-r | --role) words="viewer operator admin" ;;
	--ca) words=system files=1 ;;
	-e | --edit) words=$(_hilum_ask list --all --names) ;;
	--delete) words=$(_hilum_column images) ;;
	--tail) words=all ;;
	-n | --name | -t | --timeout | -d | --delay | --since | --linger | -p | --port) return ;;
	*)
		case $current in
		-*) words=$(hilum __options "${verb:-list}" 2>/dev/null) ;;
		*)
			case $verb in
			"") words=$(hilum __verbs 2>/dev/null | cut -f 1) ;;
			start) words=$(_hilum_ask list --inactive --names) ;;
			shutdown | destroy | suspend | resume | reboot | reset | nmi) words=$(_hilum_ask list --names) ;;
			domstats | undefine | autostart) words=$(_hilum_ask list --all --names) ;;
			console | dominfo | dump | setvcpus | setmem | dumpconfig | gdb | schedinfo | vcpupin | vcpuinfo) [ $operands != 0 ] || words=$(_hilum_ask list --all --names) ;;
			token)
				case $operands$previous in
				0*) words="list create delete" ;;
				1delete) words=$(_hilum_column token list) ;;
				esac
				;;
			login | forget) words=$(_hilum_hosts) ;;
			upload | define | check | certificate) files=1 ;;
			esac
			;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" ${files:+-f} -- "$current")
	[ -z "$files" ] || compopt -o filenames 2>/dev/null
}
complete -F _hilum hilum
