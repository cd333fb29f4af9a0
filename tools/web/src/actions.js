// What an operator can do with a VM: in which states, with which role, and what is asked before.
export const STATES = {
	running: { label: 'running', icon: 'play' },
	paused: { label: 'paused', icon: 'pause' },
	shutoff: { label: 'off', icon: 'stop' },
	crashed: { label: 'crashed', icon: 'alert' },
	waiting: { label: 'waiting', icon: 'clock' },
};

const OFF = ['shutoff', 'crashed'];
const ON = ['running', 'paused', 'waiting'];

// verb: of POST /vms/NAME/VERB, or '' for DELETE. main: a button of its own; the others are in the menu.
export const ACTIONS = [
	{ id: 'boot', verb: 'boot', label: 'Start', icon: 'play', role: 'operator', states: OFF, main: true, primary: true,
		done: 'is starting' },
	{ id: 'resume', verb: 'resume', label: 'Resume', icon: 'play', role: 'operator', states: ['paused'], main: true, primary: true,
		done: 'goes on' },
	{ id: 'shutdown', verb: 'shutdown', label: 'Shut down', icon: 'stop', role: 'operator', states: ['running'], main: true,
		done: 'was asked to shut down' },
	{ id: 'reboot', verb: 'reboot', label: 'Reboot', icon: 'reboot', role: 'operator', states: ['running'], main: true,
		done: 'was asked to reboot' },
	{ id: 'pause', verb: 'pause', label: 'Pause', icon: 'pause', role: 'operator', states: ['running'], main: true, done: 'is paused' },
	{ id: 'power-button', verb: 'power-button', label: 'Press power button', icon: 'power', role: 'operator', states: ['running'],
		done: 'felt its power button' },
	{ id: 'nmi', verb: 'nmi', label: 'Send NMI', icon: 'bolt', role: 'operator', states: ['running'], done: 'got an NMI',
		confirm: {
			title: (name) => `Send ${name} an NMI?`, action: 'Send NMI',
			text: 'A kernel usually answers a non-maskable interrupt with a dump of its state; many are set to panic on it, which ends the VM.',
		} },
	{ id: 'reset', verb: 'reset', label: 'Reset', icon: 'reboot', role: 'operator', states: ['running', 'paused'], danger: true,
		done: 'was reset',
		confirm: {
			title: (name) => `Reset ${name}?`, action: 'Reset',
			text: 'This is the reset button: the VM starts again at once, without shutting down. What it has not written to its disks is lost.',
		} },
	{ id: 'destroy', verb: 'shutdown', body: { force: true }, label: 'Pull the plug', icon: 'plug', role: 'operator', states: ON,
		danger: true,
		done: 'is off',
		confirm: {
			title: (name) => `Pull the plug of ${name}?`, action: 'Pull the plug',
			text: 'The VM stops at once, without shutting down. What it has not written to its disks is lost, and so are its RAM disks.',
		} },
	{ id: 'undefine', verb: '', label: 'Delete', icon: 'trash', role: 'admin', states: OFF, danger: true, done: 'is deleted',
		confirm: {
			title: (name) => `Delete ${name}?`, action: 'Delete', typeName: true,
			text: 'The VM\'s definition is removed, and with it its console\'s text. Images and disks of the machine stay.',
		} },
];

export function actionsFor(state) {
	return ACTIONS.filter((action) => action.states.includes(state));
}
