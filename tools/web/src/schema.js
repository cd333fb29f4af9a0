// Every key of a definition, with what the form says about it. The keys are those of [[vm]] in docs/configuration.md; a test compares.
// kind: how it is entered. unset: what holds when the field is left empty. fallback: the default of a choice or a box.

const AFTER = [
	['destroy', 'stop it and give everything back'],
	['restart', 'start it again'],
	['preserve', 'keep it stopped, with its memory, for a look'],
	['coredump-destroy', 'keep a core file, and stop it'],
	['coredump-restart', 'keep a core file, and start it again'],
];

export const GROUPS = [
	{ id: 'boot', title: 'What it boots', open: true },
	{ id: 'size', title: 'Memory and processors', open: true },
	{ id: 'devices', title: 'Console and other devices' },
	{ id: 'ends', title: 'When it ends' },
	{ id: 'debug', title: 'Compatibility and debugging' },
];

export const VM_FIELDS = [
	{ key: 'kernel', group: 'boot', label: 'Kernel', kind: 'image', required: true,
		help: 'Image to boot: a Linux bzImage, PVH, Multiboot or ELF64 file. Its format is found by looking at it.' },
	{ key: 'initrd', group: 'boot', label: 'Initial RAM disk', kind: 'image', unset: 'none',
		help: 'Image given to the kernel as its initrd, or as its first boot module.' },
	{ key: 'cmdline', group: 'boot', label: 'Command line', kind: 'long', unset: 'empty', mono: true,
		help: 'What the kernel is told. For Linux, "console=ttyS0" shows its messages in the console here.' },

	{ key: 'memory', group: 'size', label: 'Memory', kind: 'size', unset: '256M',
		help: 'RAM: a number and K, M, G or T, a multiple of 2M.' },
	{ key: 'vcpus', group: 'size', label: 'Virtual processors', kind: 'integer', min: 1, max: 64, unset: '1',
		help: 'How many the guest finds, all there from the start.' },
	{ key: 'vcpus_max', group: 'size', label: 'Most processors', kind: 'integer', min: 1, max: 64, unset: 'as many as it starts with',
		help: 'How many it can be given while it runs.' },
	{ key: 'weight', group: 'size', label: 'Weight', kind: 'integer', min: 1, max: 65535, unset: '256',
		help: 'Share of a core that VMs compete for: 512 gets twice the time of 256.' },
	{ key: 'cpus', group: 'size', label: 'Host cores', kind: 'cpus', unset: 'any core', mono: true,
		help: 'Where its processors may run, as "0-3,6".' },
	{ key: 'cap', group: 'size', label: 'Cap', kind: 'integer', min: 0, max: 6400, unset: 'none',
		help: 'Percent of one core that its processors together get at most, however idle the machine is.' },
	{ key: 'reservation', group: 'size', label: 'Reservation', kind: 'integer', min: 0, max: 6400, unset: 'none',
		help: 'Percent of one core that its processors together get whenever they want it.' },
	{ key: 'dedicated', group: 'size', label: 'Cores of its own', kind: 'bool', fallback: false,
		help: 'The first of its host cores, one for each processor, run nobody else.' },
	{ key: 'balloon', group: 'size', label: 'Balloon', kind: 'size', unset: 'none',
		help: 'Memory to ask back from the guest by a virtio balloon: a multiple of 4K, less than its memory.' },
	{ key: 'memory_max', group: 'size', label: 'At most', kind: 'size', unset: 'its memory',
		help: 'What it may have of the machine\'s memory. Less than its memory needs a balloon.' },
	{ key: 'memory_min', group: 'size', label: 'At least', kind: 'size', unset: 'a quarter with a balloon, else all',
		help: 'What is left to it where memory is overcommitted and short.' },
	{ key: 'share', group: 'size', label: 'Share identical pages', kind: 'bool', fallback: false,
		help: 'With other VMs of the same tenant that do so, too. Saves memory; others of the tenant may learn which pages it has.' },
	{ key: 'tenant', group: 'size', label: 'Tenant', kind: 'text', unset: 'none', max: 31,
		help: 'Whose VM it is. Identical pages are shared inside one tenant only.' },
	{ key: 'prefault', group: 'size', label: 'All memory at start', kind: 'bool', fallback: true,
		help: 'Gives the guest all its memory when it starts; else page by page, when it first touches it.' },
	{ key: 'hugepages', group: 'size', label: 'Huge pages', kind: 'bool', fallback: true,
		help: 'Backs its memory with pages of 2 MiB and 1 GiB where that is possible, which is faster.' },

	{ key: 'console', group: 'devices', label: 'Console', kind: 'choice', fallback: 'serial',
		choices: [['serial', 'serial port (ttyS0)'], ['virtio', 'virtio console (hvc0)']],
		help: 'Which device the console here is joined to.' },
	{ key: 'serial', group: 'devices', label: 'Serial port', kind: 'bool', fallback: true,
		help: 'A 16550A at port 0x3f8. Without it the console must be the virtio one.' },
	{ key: 'rng', group: 'devices', label: 'Entropy device', kind: 'bool', fallback: false,
		help: 'A virtio device that gives the guest random numbers of the host\'s processor.' },
	{ key: 'packed', group: 'devices', label: 'Packed rings', kind: 'bool', fallback: false,
		help: 'Its virtio devices offer packed rings beside split ones.' },

	{ key: 'on_poweroff', group: 'ends', label: 'When it powers off', kind: 'choice', choices: AFTER, fallback: 'destroy',
		help: 'What follows when the guest switches itself off.' },
	{ key: 'on_reboot', group: 'ends', label: 'When it reboots', kind: 'choice', choices: AFTER, fallback: 'restart',
		help: 'What follows when the guest resets itself.' },
	{ key: 'on_crash', group: 'ends', label: 'When it crashes', kind: 'choice', choices: AFTER, fallback: 'destroy',
		help: 'What follows when the guest comes to a state that cannot go on, such as a triple fault.' },
	{ key: 'watchdog', group: 'ends', label: 'Watchdog', kind: 'choice', fallback: 'none',
		choices: [['none', 'none'], ['wdat', 'described by ACPI (wdat_wdt)']],
		help: 'A timer that the guest must touch again and again once it has started it.' },
	{ key: 'on_watchdog', group: 'ends', label: 'When that runs out', kind: 'choice', fallback: 'reset',
		choices: [['reset', 'start it again'], ['poweroff', 'stop it'], ['pause', 'pause it'], ['inject-nmi', 'send it an NMI'],
			['none', 'only tell']],
		help: 'What follows when the guest has not touched its watchdog in time.' },
	{ key: 'autostart', group: 'ends', label: 'Start with the machine', kind: 'bool', fallback: false,
		help: 'Starts it when the machine starts. VMs that hilum.toml names are started anyway unless this says no.' },

	{ key: 'profile', group: 'debug', label: 'Processor profile', kind: 'choice', fallback: 'kvm',
		choices: [['kvm', 'with KVM\'s paravirtual features'], ['bare', 'like a bare machine']],
		help: 'Whether CPUID shows clock, steal time, kick and IPI as KVM has them. Linux uses them.' },
	{ key: 'debug_exit', group: 'debug', label: 'Exit port', kind: 'port', unset: 'off', mono: true,
		help: 'A write to this I/O port, as 0xf4, ends the VM with that value as its status. For unikernels and tests.' },
	{ key: 'debug_crash', group: 'debug', label: 'Crash port', kind: 'port', unset: 'off', mono: true,
		help: 'For tests of Hilum itself: a write to this I/O port ends the driver VM.' },
];

export const DISK_FIELDS = [
	{ key: 'module', label: 'Image', kind: 'image', unset: 'none',
		help: 'An image that becomes a RAM disk: the VM\'s own copy, which goes when the VM does. Or name a device instead.' },
	{ key: 'device', label: 'Device', kind: 'text', unset: 'none', mono: true, max: 20,
		help: 'A disk of the machine, by PCI address ("00:04.0", with several behind one controller "00:1f.2/1") or serial number.' },
	{ key: 'readonly', label: 'Read only', kind: 'bool', fallback: false, help: 'The guest cannot write to it.' },
	{ key: 'partlabel', label: 'Partition label', kind: 'text', unset: 'whole disk', max: 36,
		help: 'Only the GPT partition of this name.' },
	{ key: 'partition', label: 'Partition number', kind: 'integer', min: 1, max: 128, unset: 'whole disk',
		help: 'Only the GPT partition of this number.' },
	{ key: 'partuuid', label: 'Partition GUID', kind: 'text', unset: 'whole disk', mono: true,
		help: 'Only the GPT partition with this unique GUID.' },
	{ key: 'serial', label: 'Serial number', kind: 'text', unset: 'none', max: 20,
		help: 'What the guest reads as the disk\'s serial number.' },
	{ key: 'num_queues', label: 'Queues', kind: 'integer', min: 1, max: 8, unset: '1', help: 'Request queues.' },
	{ key: 'iops', label: 'Operations a second', kind: 'integer', min: 1, max: 100000000, unset: 'no limit', help: 'At most so many.' },
	{ key: 'bandwidth', label: 'Bandwidth', kind: 'text', unset: 'no limit', help: 'Bytes read and written, as "50MB/s" or "1Gb/s".' },
];

export const NIC_FIELDS = [
	{ key: 'bridge', label: 'Bridge', kind: 'text', unset: 'default', max: 31,
		help: 'Cards of one bridge reach each other. The bridge "default" leads outside, unless the host is set up otherwise.' },
	{ key: 'mac', label: 'MAC address', kind: 'text', unset: 'made from name and place', mono: true,
		help: 'Its address, as 02:00:00:00:00:01. No two cards have the same.' },
	{ key: 'ip', label: 'IP addresses', kind: 'list', unset: 'any', mono: true,
		help: 'The guest may send from these only, separated by commas: at most three IPv4 and three IPv6 ones.' },
	{ key: 'rate', label: 'Rate', kind: 'text', unset: 'no limit', help: 'What it may send, as "100Mb/s".' },
	{ key: 'vlan', label: 'VLAN', kind: 'integer', min: 1, max: 4094, unset: 'none', help: 'VLAN of its frames, which have no tags.' },
	{ key: 'trunk', label: 'Trunk', kind: 'bool', fallback: false, help: 'It carries the frames of all VLANs, with tags.' },
	{ key: 'tenant', label: 'Tenant', kind: 'text', unset: 'none', max: 31,
		help: 'Cards of different tenants do not reach each other, even on one bridge.' },
	{ key: 'spoof', label: 'Any sender address', kind: 'bool', fallback: false,
		help: 'It may send from any Ethernet address, for guests that are bridges themselves. Excludes IP addresses.' },
	{ key: 'mtu', label: 'MTU', kind: 'integer', min: 576, max: 65535, unset: '1500', help: 'Longest packet, bytes.' },
	{ key: 'num_queues', label: 'Queues', kind: 'integer', min: 1, max: 4, unset: '1', help: 'Pairs of queues.' },
	{ key: 'offload', label: 'Offloads', kind: 'bool', fallback: true,
		help: 'Offers checksums and TCP segmentation to the guest\'s driver.' },
];

export const CHANNEL_FIELDS = [
	{ key: 'name', label: 'Called', kind: 'text', required: true, max: 31, help: 'The channel, in both VMs.' },
	{ key: 'peer', label: 'Other VM', kind: 'text', required: true, max: 31,
		help: 'It must declare the channel, too, with this VM as the other one and the same size.' },
	{ key: 'size', label: 'Size', kind: 'size', unset: '1M', help: 'Of the memory that both have: a power of two from 4K to 1G.' },
];

// The lists of a definition.
export const LISTS = [
	{ key: 'disk', title: 'Disks', one: 'Disk', fields: DISK_FIELDS, most: 8,
		explain: 'Virtio disks; Linux calls them vda, vdb and so on, in this order. Each is an image or a device of the machine.' },
	{ key: 'nic', title: 'Network cards', one: 'Card', fields: NIC_FIELDS, most: 4,
		explain: 'Virtio network cards. A card as it comes gets an address by DHCP and reaches the outside.' },
	{ key: 'channel', title: 'Channels', one: 'Channel', fields: CHANNEL_FIELDS, most: 4,
		explain: 'Memory and doorbells in common with another VM, as an ivshmem device.' },
];

export const NAME_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,30}$/;
