// Hilum's own log, as it comes.
import { html, useState, useEffect, useLayoutEffect, useRef } from '../lib/html.js';
import { openSocket } from '../lib/api.js';

const KEPT_CHARACTERS = 400000;

function useLog() {
	const [state, setState] = useState({ text: '', live: false });
	useEffect(() => {
		let socket, timer, gone = false, wait = 1000;
		const open = () => {
			socket = openSocket('/log');
			let text = ''; /* each connection brings all that is kept */
			socket.onopen = () => {
				wait = 1000;
				setState({ text: '', live: true });
			};
			socket.onmessage = ({ data }) => {
				text = (text + data).slice(-KEPT_CHARACTERS);
				setState({ text, live: true });
			};
			socket.onclose = () => {
				if (gone)
					return;
				setState((before) => ({ ...before, live: false }));
				timer = setTimeout(open, wait);
				wait = Math.min(2 * wait, 30000);
			};
		};
		open();
		return () => {
			gone = true;
			clearTimeout(timer);
			socket.close();
		};
	}, []);
	return state;
}

export function LogPage() {
	const { text, live } = useLog();
	const [filter, setFilter] = useState('');
	const box = useRef(null);
	const end = useRef(true);
	const shown = filter ? text.split('\n').filter((line) => line.toLowerCase().includes(filter.toLowerCase())).join('\n') : text;
	useLayoutEffect(() => {
		if (end.current)
			box.current.scrollTop = box.current.scrollHeight;
	}, [shown]);
	const scrolled = () => {
		end.current = box.current.scrollHeight - box.current.scrollTop - box.current.clientHeight < 20;
	};
	return html`<h1>Log</h1><div class="log-bar"><label class="inline-field"><span class="label">Only lines with</span>
			<input type="search" value=${filter} onInput=${(event) => setFilter(event.target.value)}/></label>
			<span class="spacer"></span>
			<span class=${`link-state ${live ? 'open' : 'closed'}`} role="status">
			${live ? 'Live' : 'Not connected, trying again …'}</span></div>
		<pre class="log" tabindex="0" aria-label="Hilum's log" ref=${box} onScroll=${scrolled}>${shown}</pre>`;
}
