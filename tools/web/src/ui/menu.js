// A button that opens a menu (WAI-ARIA's menu button): arrows move, Escape closes and returns to the button.
import { html, useState, useRef, useLayoutEffect, useEffect, useId } from '../lib/html.js';
import { Icon } from './icons.js';

// items: { label, icon, danger, onSelect }.
export function Menu({ label, items, icon = 'more', align = 'end' }) {
	const [open, setOpen] = useState(false);
	const button = useRef(null);
	const list = useRef(null);
	const id = useId();
	const options = () => [...list.current.querySelectorAll('[role=menuitem]')];
	const shut = () => {
		setOpen(false);
		button.current.focus();
	};
	useLayoutEffect(() => {
		if (open)
			options()[0]?.focus();
	}, [open]);
	useEffect(() => {
		const outside = (event) => !button.current?.parentNode.contains(event.target) && setOpen(false);
		if (open)
			document.addEventListener('pointerdown', outside);
		return () => document.removeEventListener('pointerdown', outside);
	}, [open]);
	const keys = (event) => {
		const all = options();
		const at = all.indexOf(document.activeElement);
		const end = all.length - 1;
		const to = { ArrowDown: at === end ? 0 : at + 1, ArrowUp: at <= 0 ? end : at - 1, Home: 0, End: end }[event.key];
		if (to !== undefined) {
			event.preventDefault();
			all[to].focus();
		} else if (event.key === 'Escape') {
			event.stopPropagation();
			shut();
		} else if (event.key === 'Tab') {
			setOpen(false);
		}
	};
	const opener = (event) => {
		if (event.key === 'ArrowDown') {
			event.preventDefault();
			setOpen(true);
		}
	};
	return html`<div class="menu">
		<button type="button" ref=${button} aria-haspopup="menu" aria-expanded=${String(open)} aria-label=${label}
			aria-controls=${open ? id : undefined}
			onClick=${() => setOpen(!open)} onKeyDown=${opener}><${Icon} name=${icon}/><span>${label}</span></button>
		${open && html`<div class=${`menu-list ${align}`} role="menu" id=${id} aria-label=${label} ref=${list} onKeyDown=${keys}>
			${items.map((item) => html`<button type="button" role="menuitem" tabindex="-1" class=${item.danger ? 'danger' : ''}
				onClick=${() => { shut(); item.onSelect(); }}><${Icon} name=${item.icon}/><span>${item.label}</span>
					</button>`)}</div>`}
	</div>`;
}
