// A live plot by uPlot, with its latest figures as text above it, for those who read rather than look.
import uPlot from 'uplot';
import { html, useLayoutEffect, useRef } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { theme, colour } from '../lib/theme.js';

const HEIGHT = 146;
const AXIS_WIDTH = 64;
/* Steps of a scale of bytes: powers of two, so that its figures are round. */
const BINARY_STEPS = Array.from({ length: 50 }, (none, power) => 2 ** power);

const CLOCK = { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false };

function axes(format, binary) {
	const clock = (plot, splits) => splits.map((at) => new Date(at * 1000).toLocaleTimeString([], CLOCK));
	const figures = (plot, splits) => splits.map(format);
	const common = { stroke: colour('--text-dim'), font: '11px system-ui, sans-serif', grid: { stroke: colour('--line'), width: 1 },
		ticks: { show: false } };
	return [
		{ ...common, space: 70, size: 28, gap: 9, values: clock },
		{ ...common, space: 34, size: AXIS_WIDTH, ...(binary ? { incrs: BINARY_STEPS } : {}), values: figures },
	];
}

function build(element, { series, format, ceiling, floorCeiling, binary }, data, width) {
	return new uPlot({
		width, height: HEIGHT, padding: [8, 12, 0, 0], legend: { show: false }, cursor: { y: false, points: { size: 5 } },
		scales: {
			x: { time: true },
			y: { range: (plot, low, high) => [0, ceiling || Math.max(floorCeiling || 1, (high || 0) * 1.15)] },
		},
		axes: axes(format, binary),
		series: [{}, ...series.map(({ hue }, index) => ({
			stroke: colour(hue), width: 1.5, spanGaps: false, points: { show: false },
			fill: index === 0 ? colour(`${hue}-soft`) : undefined,
		}))],
	}, data, element);
}

// series: [{ key, label, hue }]; history: of samples.js; span: seconds shown; ceiling: fixed top of the scale; floorCeiling: its least one.
export function Plot({ title, series, history, span, format, ceiling, floorCeiling, binary }) {
	const box = useRef(null);
	const plot = useRef(null);
	const { dark } = useStore(theme);
	const last = history.t.length - 1;
	const dataOf = () => [history.t, ...series.map(({ key }) => history.series[key] || history.t.map(() => null))];
	const window = () => {
		const end = history.t[last] ?? Date.now() / 1000;
		return { min: end - span, max: end };
	};
	useLayoutEffect(() => {
		const width = box.current.clientWidth || 300;
		plot.current = build(box.current, { series, format, ceiling, floorCeiling, binary }, dataOf(), width);
		plot.current.setScale('x', window());
		const observer = new ResizeObserver(([entry]) => {
			const width = Math.floor(entry.contentRect.width);
			if (width && width !== plot.current.width)
				plot.current.setSize({ width, height: HEIGHT });
		});
		observer.observe(box.current);
		return () => {
			observer.disconnect();
			plot.current.destroy();
		};
	}, [dark]);
	useLayoutEffect(() => {
		plot.current.setData(dataOf(), false);
		plot.current.setScale('x', window());
	}, [last, history.t[last], span]);
	return html`<figure class="plot" data-plot=${title}>
		<figcaption><span class="plot-title">${title}</span>
			${series.map(({ key, label, hue }) => html`<span class=${'key ' + hue.slice(2)}><i></i>${label}
				<b>${format(history.series[key]?.[last] ?? null)}</b></span>`)}</figcaption>
		<div class="canvas" ref=${box} role="img" aria-label=${`${title}: plot of the last ${Math.round(span / 60)} minutes`}></div>
	</figure>`;
}
