// What surrounds every page: bar at the top, tree at the left (a drawer on narrow screens), banner when Hilum does not answer.
import { html, useState, useEffect, useRef } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { session, closeSession, allowed } from '../lib/session.js';
import { connection } from '../lib/connection.js';
import { theme, nextTheme } from '../lib/theme.js';
import { route, link } from '../lib/router.js';
import { host, vms, refresh } from '../poll.js';
import { loadOf } from '../samples.js';
import { STATES } from '../actions.js';
import { formatPercent } from '../lib/format.js';
import { Icon, Mark } from '../ui/icons.js';

const THEMES = { auto: ['contrast', 'as the computer'], light: ['sun', 'light'], dark: ['moon', 'dark'] };

export function StateBadge({ state, compact }) {
	const { label, icon } = STATES[state] || { label: state, icon: 'alert' };
	return html`<span class=${`state ${state}`} title=${compact ? label : undefined}><${Icon} name=${icon}/><span
		class=${compact ? 'hidden-text' : ''}>${label}</span></span>`;
}

function Leaf({ to, icon, label, here, children }) {
	return html`<li><a href=${link(...to)} aria-current=${here ? 'page' : undefined}>${icon && html`<${Icon} name=${icon}/>`}
		<span class="name">${label}</span>${children}</a></li>`;
}

/* Up and down move through the links, as in a tree; Tab goes through them too. */
function arrows(event) {
	const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
	if (!step)
		return;
	const links = [...event.currentTarget.querySelectorAll('a')];
	const at = links.indexOf(document.activeElement);
	if (at < 0)
		return;
	event.preventDefault();
	links[Math.max(0, Math.min(links.length - 1, at + step))].focus();
}

function Tree({ page, onMove }) {
	const list = useStore(vms);
	const { role } = useStore(session);
	const [first, second] = page;
	const at = (name) => first === name;
	return html`<nav class="tree" aria-label="Machine" onKeyDown=${arrows} onClick=${(event) => event.target.closest('a') && onMove()}>
		<ul>
			<${Leaf} to=${[]} icon="host" label="Host" here=${!first || first === 'host'}/>
		</ul>
		<h2>Virtual machines</h2>
		<ul class="vms">
			${list === null && html`<li class="empty">Loading …</li>`}
			${list && !list.length && html`<li class="empty">None yet</li>`}
			${(list || []).map((vm) => html`<${Leaf} key=${vm.name} to=${['vms', vm.name]} label=${vm.name}
				here=${at('vms') && second === vm.name}><${StateBadge} state=${vm.state} compact/>
				<span class="load">
				${vm.state === 'running' ? formatPercent(loadOf(vm.name)) : STATES[vm.state]?.label}</span></${Leaf}>`)}
		</ul>
		${allowed('admin', role) && html`<ul><${Leaf} to=${['create']} icon="plus" label="Create a VM" here=${at('create')}/></ul>`}
		<h2>Host</h2>
		<ul>
			<${Leaf} to=${['images']} icon="images" label="Images" here=${at('images')}/>
			<${Leaf} to=${['events']} icon="events" label="Events" here=${at('events')}/>
			<${Leaf} to=${['log']} icon="log" label="Log" here=${at('log')}/>
			${allowed('admin', role) && html`<${Leaf} to=${['audit']} icon="audit" label="Audit" here=${at('audit')}/>
				<${Leaf} to=${['tokens']} icon="tokens" label="Tokens" here=${at('tokens')}/>`}
		</ul></nav>`;
}

function Banner() {
	const { online, retryAt } = useStore(connection);
	const [, tick] = useState(0);
	useEffect(() => {
		const timer = online ? null : setInterval(() => tick((count) => count + 1), 1000);
		return () => clearInterval(timer);
	}, [online]);
	if (online)
		return null;
	const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
	return html`<div class="banner" role="alert"><${Icon} name="alert"/><span>Hilum does not answer. What you see may be old;
		the page tries again ${html`<span aria-hidden="true">in ${seconds} s</span>`}.</span>
		<button type="button" onClick=${() => refresh({ withHost: true })}>Try now</button></div>`;
}

function Bar({ open, onMenu, menuButton }) {
	const { name, role } = useStore(session);
	const { choice } = useStore(theme);
	const machine = useStore(host);
	const [icon, text] = THEMES[choice];
	return html`<header class="bar">
		<button type="button" class="plain drawer-button" ref=${menuButton} aria-expanded=${String(open)} aria-controls="tree"
			onClick=${onMenu}><${Icon} name="menu"/><span class="hidden-text">Menu</span></button>
		<a class="brand" href="#/"><${Mark}/><span>Hilum</span></a>
		<span class="machine">${machine?.name || ''}</span>
		<span class="spacer"></span>
		<span class="who" title=${`Token "${name}", role ${role}`}><span>${name}</span><span class="role">${role}</span></span>
		<button type="button" class="plain" onClick=${nextTheme} title=${`Colours: ${text}`}><${Icon} name=${icon}/><span
			class="hidden-text">Colours: ${text}. Change</span></button>
		<button type="button" class="plain" onClick=${() => closeSession('You have logged out.')} title="Log out">
		<${Icon} name="exit"/><span
			class="hidden-text">Log out</span></button>
	</header>`;
}

export function Shell({ children }) {
	const page = useStore(route);
	const [open, setOpen] = useState(false);
	const menuButton = useRef(null);
	const close = (event) => {
		if (event.key === 'Escape' && open) {
			setOpen(false);
			menuButton.current.focus();
		}
	};
	return html`<div class=${'shell' + (open ? ' drawer-open' : '')} onKeyDown=${close}>
		<a class="skip" href="#content" onClick=${(event) => {
			event.preventDefault();
			document.getElementById('content').focus();
		}}>Skip to the page</a>
		<${Bar} open=${open} onMenu=${() => setOpen(!open)} menuButton=${menuButton}/>
		<aside id="tree"><${Tree} page=${page} onMove=${() => setOpen(false)}/></aside>
		<div class="shade" onClick=${() => setOpen(false)}></div>
		<main id="content" tabindex="-1">${children}</main>
		<${Banner}/></div>`;
}
