// What has happened, live; and who did what (audit).
import { html, useState, useEffect } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { link } from '../lib/router.js';
import { get } from '../lib/api.js';
import { vms } from '../poll.js';
import { events } from '../events.js';
import { formatTime } from '../lib/format.js';

const SHOWN = 500;

function Live({ live }) {
	return html`<span class=${`link-state ${live ? 'open' : 'closed'}`} role="status">
		${live ? 'Live' : 'Not connected, trying again …'}</span>`;
}

/* Crashes and losses stand out by a word and an icon's colour, not by colour alone: the kind says it. */
const BAD = /crash|lost|fail|fault|refused/;

export function EventList({ name }) {
	const { items, live } = useStore(events);
	const known = useStore(vms);
	const chosen = (items || []).filter((event) => !name || event.name === name).slice(-SHOWN).reverse();
	const subject = (event) => known?.some((vm) => vm.name === event.name) && !name ?
		html`<a href=${link('vms', event.name)}>${event.name}</a>` : event.name;
	return html`<section class="card"><div class="card-head"><h2>${name ? `Events of ${name}` : 'What has happened'}</h2>
		<span class="spacer"></span><${Live} live=${live}/></div>
		${!items && html`<p class="empty">Loading …</p>`}
		${items && !chosen.length && html`<p class="empty">Nothing yet.</p>`}
		${chosen.length > 0 && html`<div class="scroll"><table class="events"><thead><tr><th>Time</th><th>What</th>
			${!name && html`<th>Which</th>`}<th>Detail</th></tr></thead>
			<tbody>${chosen.map((event) => html`<tr key=${event.id}><td class="time">${formatTime(event.time)}</td>
				<td><span class=${'kind' + (BAD.test(event.kind) ? ' bad' : '')}>${event.kind}</span></td>
				${!name && html`<td>${subject(event)}</td>`}
				<td>${event.message}</td></tr>`)}</tbody></table></div>`}</section>`;
}

export function EventsPage() {
	return html`<h1>Events</h1><${EventList}/>`;
}

export function AuditPage() {
	const [entries, setEntries] = useState(null);
	const [error, setError] = useState('');
	const { items } = useStore(events);
	useEffect(() => {
		let gone = false;
		const load = () => get('/audit').then(({ body }) => {
			if (!gone) {
				setEntries(body.entries.slice(-SHOWN).reverse());
				setError('');
			}
		}, (problem) => !gone && setError(problem.message));
		load();
		const timer = setInterval(() => !document.hidden && load(), 10000);
		return () => {
			gone = true;
			clearInterval(timer);
		};
	}, [items?.length]);
	return html`<h1>Audit</h1><p class="help">Every request that changed something or was refused, since the machine's start.</p>
		${error && html`<p class="notice bad" role="alert">${error}</p>`}
		<section class="card"><h2 class="hidden-text">Requests</h2>
		${entries === null && !error && html`<p class="empty">Loading …</p>`}
		${entries && !entries.length && html`<p class="empty">Nothing yet.</p>`}
		${entries && entries.length > 0 && html`<div class="scroll"><table><thead><tr><th>Time</th><th>Token</th><th>Role</th>
			<th>From</th><th>Request</th>
			<th class="number">Status</th></tr></thead><tbody>${entries.map((entry) => html`<tr key=${entry.id}>
			<td class="time">${formatTime(entry.time)}</td>
			<td>${entry.token || 'none'}</td><td>${entry.role}</td><td class="mono">${entry.peer}</td><td class="mono">
			${entry.method} ${entry.path}</td>
			<td class="number"><span class=${'kind' + (entry.status >= 400 ? ' bad' : '')}>${entry.status}</span></td>
			</tr>`)}</tbody></table></div>`}</section>`;
}
