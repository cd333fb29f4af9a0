// The console's page: the terminal and what belongs to it. The terminal's code is loaded when it is first wanted.
import { html, useState, useEffect, useRef } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { session, allowed } from '../lib/session.js';
import { theme } from '../lib/theme.js';
import { notify } from '../ui/toast.js';
import { Icon } from '../ui/icons.js';

const STATES = {
	loading: 'Loading …', connecting: 'Connecting …', open: 'Connected', closed: 'Connection lost, trying again …',
	reading: 'Read only: typing needs the role operator',
};

async function copyText(text) {
	if (!text)
		return notify('Nothing is selected. Mark text with the mouse, or use "Copy all".');
	try {
		await navigator.clipboard.writeText(text);
		notify('Copied.');
	} catch {
		notify('The browser does not allow this page to copy. Mark the text and press Ctrl+Shift+C.', true);
	}
}

async function pasteInto(terminal) {
	try {
		terminal.paste(await navigator.clipboard.readText());
		terminal.focus();
	} catch {
		notify('The browser does not allow this page to read the clipboard. Click into the terminal and press Ctrl+Shift+V.', true);
	}
}

export function Console({ vm }) {
	const box = useRef(null);
	const leave = useRef(null);
	const terminal = useRef(null);
	const [state, setState] = useState('loading');
	const { dark } = useStore(theme);
	const { role } = useStore(session);
	const readOnly = !allowed('operator', role);
	useEffect(() => {
		let gone = false;
		import('../ui/terminal.js').then(({ openTerminal }) => {
			if (gone)
				return;
			terminal.current = openTerminal(box.current, vm.name, { readOnly, onState: setState,
				onLeave: () => leave.current.focus() });
			if (!readOnly)
				terminal.current.focus();
		}).catch(() => setState('closed'));
		return () => {
			gone = true;
			terminal.current?.dispose();
			terminal.current = null;
		};
	}, [vm.name, readOnly, dark]);
	const tellSize = () => {
		terminal.current?.typeSize();
		terminal.current?.focus();
	};
	const wide = () => box.current.parentNode.requestFullscreen?.();
	return html`<section class="console" aria-label=${`Console of ${vm.name}`}>
		<div class="console-bar"><span class=${`link-state ${state}`} role="status">${STATES[state]}</span><span class="spacer">
		</span>
			<button type="button" ref=${leave} onClick=${() => copyText(terminal.current?.selection())}><${Icon} name="copy"/>
			<span>Copy</span></button>
			<button type="button" onClick=${() => copyText(terminal.current?.everything())}><span>Copy all</span></button>
			${!readOnly && html`<button type="button" onClick=${() => pasteInto(terminal.current)}><${Icon} name="paste"/>
				<span>Paste</span></button>`}
			${!readOnly && html`<button type="button" title="Types a command that tells the guest's shell this terminal's size"
				onClick=${tellSize}><span>Tell size</span></button>`}
			${document.fullscreenEnabled && html`<button type="button" onClick=${wide}><${Icon} name="expand"/>
				<span>Full screen</span></button>`}</div>
		<div class="terminal-box" ref=${box}></div>
		<p class="help">${readOnly ? 'Shows the last 64 KiB, looked at every five seconds.' :
			'Ctrl+Shift+C copies, Ctrl+Shift+V pastes, Ctrl+F6 leaves the terminal by keyboard.'}</p></section>`;
}
