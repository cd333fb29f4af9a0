// A VM's console: xterm.js over a WebSocket. Loaded when it is first shown. For a viewer it shows what is kept, and takes no keys.
import { Terminal } from '@xterm/xterm';
import { FitAddon } from '@xterm/addon-fit';
import { allowTerminalStyles } from '../lib/csp.js';
import { colour } from '../lib/theme.js';
import { openSocket, get, part } from '../lib/api.js';

const TAIL_BYTES = 262144;
const VIEWER_TAIL_BYTES = 65536;
const VIEWER_EVERY_MS = 5000;

const COLOURS = {
	black: '#1b1f24', red: '#e5534b', green: '#57ab5a', yellow: '#c69026', blue: '#539bf5', magenta: '#b083f0', cyan: '#39c5cf',
		white: '#c5cdd6',
	brightBlack: '#6b7684', brightRed: '#ff938a', brightGreen: '#6bc46d', brightYellow: '#daaa3f', brightBlue: '#6cb6ff',
		brightMagenta: '#dcbdfb',
	brightCyan: '#56d4dd', brightWhite: '#f0f3f6',
};

/* Links that a guest makes lead nowhere: what it writes must not move the operator's browser. */
function makeTerminal(readOnly) {
	return new Terminal({
		fontFamily: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace', fontSize: 13, lineHeight: 1.1,
		scrollback: 10000, disableStdin: readOnly, cursorBlink: false, linkHandler: { activate() {} },
		cursorInactiveStyle: 'outline', screenReaderMode: false,
		theme: { ...COLOURS, background: colour('--terminal'), foreground: colour('--terminal-text'),
			cursor: colour('--terminal-text'),
			selectionBackground: 'rgba(120, 160, 220, 0.4)' },
	});
}

/* Ctrl+Shift+C copies, Ctrl+F6 leaves the terminal for those without a mouse; all else is the guest's. */
function keyHandler(terminal, onLeave) {
	return (event) => {
		if (event.type !== 'keydown')
			return true;
		if (event.ctrlKey && event.shiftKey && event.code === 'KeyC') {
			event.preventDefault();
			navigator.clipboard?.writeText(terminal.getSelection());
			return false;
		}
		if (event.ctrlKey && event.key === 'F6') {
			event.preventDefault();
			onLeave();
			return false;
		}
		return !(event.ctrlKey && event.shiftKey && event.code === 'KeyV');
	};
}

function connect(terminal, name, onState) {
	let socket = null, timer = null, wait = 500, closed = false;
	const encoder = new TextEncoder();
	const open = () => {
		onState('connecting');
		socket = openSocket(`/vms/${part(name)}/console?tail=${TAIL_BYTES}`);
		socket.onopen = () => {
			wait = 500;
			terminal.reset(); /* what is kept comes again */
			onState('open');
		};
		socket.onmessage = ({ data }) => terminal.write(typeof data === 'string' ? data : new Uint8Array(data));
		socket.onclose = () => {
			if (closed)
				return;
			onState('closed');
			timer = setTimeout(open, wait);
			wait = Math.min(wait * 2, 15000);
		};
	};
	const send = (bytes) => socket && socket.readyState === WebSocket.OPEN && socket.send(bytes);
	terminal.onData((text) => send(encoder.encode(text)));
	terminal.onBinary((text) => send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
	open();
	return () => {
		closed = true;
		clearTimeout(timer);
		socket.close();
	};
}

function follow(terminal, name, onState) {
	let timer = null, closed = false, shown = 0;
	const load = async () => {
		try {
			const bytes = new Uint8Array((await get(`/vms/${part(name)}/console?tail=${VIEWER_TAIL_BYTES}`,
				{ raw: true })).text);
			const mark = bytes.reduce((sum, byte) => (sum * 31 + byte) >>> 0, bytes.length);
			if (!closed && mark !== shown) {
				shown = mark;
				terminal.reset();
				terminal.write(bytes);
			}
			onState('reading');
		} catch {
			onState('closed');
		}
		if (!closed)
			timer = setTimeout(load, VIEWER_EVERY_MS);
	};
	load();
	return () => {
		closed = true;
		clearTimeout(timer);
	};
}

// Shows the console of `name` in `element`. onState gets 'connecting', 'open', 'reading' or 'closed'.
export function openTerminal(element, name, { readOnly, onState, onLeave }) {
	allowTerminalStyles();
	const terminal = makeTerminal(readOnly);
	const fit = new FitAddon();
	terminal.loadAddon(fit);
	terminal.open(element);
	terminal.attachCustomKeyEventHandler(keyHandler(terminal, onLeave));
	fit.fit();
	const observer = new ResizeObserver(() => fit.fit());
	observer.observe(element);
	const close = (readOnly ? follow : connect)(terminal, name, onState);
	return {
		focus: () => terminal.focus(),
		selection: () => terminal.getSelection(),
		everything: () => {
			terminal.selectAll();
			const text = terminal.getSelection();
			terminal.clearSelection();
			return text;
		},
		paste: (text) => terminal.paste(text),
		/* A serial line has no way to tell its width: the guest's shell is told by a command. */
		typeSize: () => terminal.input(`stty rows ${terminal.rows} cols ${terminal.cols}\r`),
		dispose() {
			close();
			observer.disconnect();
			terminal.dispose();
		},
	};
}
