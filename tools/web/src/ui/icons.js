// Line icons of 16 by 16, drawn with the text's colour. Each stands beside its text or has a label where it is used.
import { html } from '../lib/html.js';

const PATHS = {
	play: 'M5 3.2v9.6L12.5 8z',
	pause: 'M5 3.5v9M11 3.5v9',
	stop: 'M4 4h8v8H4z',
	alert: 'M8 2.2 14.5 13.5h-13zM8 6.5v3.2M8 11.4v.4',
	clock: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.3 1.6',
	reboot: 'M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3',
	power: 'M8 2v5.5M4.8 4.2a5 5 0 1 0 6.4 0',
	bolt: 'M9 1.8 3.8 9H8l-.8 5.2L12.2 7H8z',
	plug: 'M6 2v3M10 2v3M4 5h8v2.5a4 4 0 0 1-8 0zM8 11.5V14',
	trash: 'M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9M7 7v4M9 7v4',
	host: 'M2 3h12v4H2zM2 9h12v4H2zM4.5 5h.5M4.5 11h.5',
	images: 'M2.5 4.2 8 1.8l5.5 2.4v7.6L8 14.2l-5.5-2.4zM2.5 4.2 8 6.6l5.5-2.4M8 6.6v7.6',
	events: 'M2.5 4h1M6 4h7.5M2.5 8h1M6 8h7.5M2.5 12h1M6 12h7.5',
	log: 'M3 2h7l3 3v9H3zM5.5 7h5M5.5 9.5h5M5.5 12h3',
	audit: 'M8 1.8 13.2 4v3.6c0 3.2-2.2 5.6-5.2 6.6-3-1-5.2-3.4-5.2-6.6V4zM5.8 8l1.6 1.6 3-3.2',
	tokens: 'M6.3 8A2.6 2.6 0 1 1 1.1 8a2.6 2.6 0 0 1 5.2 0zM6.3 8h8.5v2.4M12 8v2',
	plus: 'M8 3v10M3 8h10',
	menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
	more: 'M3.4 8h.2M7.9 8h.2M12.4 8h.2',
	sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9',
	moon: 'M13 9.6A5.6 5.6 0 0 1 6.4 3a5.6 5.6 0 1 0 6.6 6.6z',
	contrast: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12M10 4v8M12 5.8v4.4',
	close: 'M4 4l8 8M12 4l-8 8',
	exit: 'M6.5 2.5h-4v11h4M6 8h8M11 5l3 3-3 3',
	copy: 'M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3',
	paste: 'M5.5 3h-2v11h9V3h-2M5.5 2h5v2.5h-5zM6 8h4M6 10.5h4',
	expand: 'M9.5 2.5h4v4M13.5 2.5 9 7M6.5 13.5h-4v-4M2.5 13.5 7 9',
	down: 'M4 6l4 4 4-4',
	upload: 'M8 10.5V2.5M4.8 5.5 8 2.3l3.2 3.2M2.5 10.5v3h11v-3',
	check: 'M3 8.5l3.2 3.2L13 4.8',
};

const SOLID = new Set(['play', 'stop']);

export function Icon({ name }) {
	return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${PATHS[name]}
		fill=${SOLID.has(name) ? 'currentColor' : 'none'} stroke="currentColor" stroke-width=${name === 'more' ? 2.4 : 1.4}
		stroke-linecap="round" stroke-linejoin="round"/></svg>`;
}

// The mark: a seed with its hilum.
export function Mark() {
	return html`<svg class="mark" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path class="seed"
		d="M12 2c5.2 0 8.5 4.2 8.5 9.6S17 22 12 22 3.5 17 3.5 11.6 6.8 2 12 2z"/><path class="scar"
		d="M12 7.5c1.7 0 2.7 2 2.7 4.5s-1 4.5-2.7 4.5-2.7-2-2.7-4.5 1-4.5 2.7-4.5z"/></svg>`;
}
