import { Markup } from './html.ts';

/** The whole style sheet: light and dark, from a phone's width on. Colours of the series keep apart for colour-blind eyes. */
export const style = new Markup(`
:root { color-scheme: light dark;
  --page: #fbfaf8; --card: #fff; --ink: #1c1f24; --soft: #5b6470; --rule: #e3e0da; --warn: #8a4b00; --warn-back: #fff4e0; --good: #1b6b3a; --bad: #b3261e;
  --s0: #69707d; --s1: #1f66c9; --s2: #c9540a; --s3: #6f3fb5; }
@media screen and (prefers-color-scheme: dark) { :root {
  --page: #14161a; --card: #1c1f25; --ink: #e8eaee; --soft: #a0a8b4; --rule: #333842; --warn: #ffc46b; --warn-back: #33270f; --good: #7fd19b; --bad: #ff8a80;
  --s0: #9aa3b0; --s1: #6ea8ff; --s2: #ff9a4d; --s3: #b794ff; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 1rem 0 .5rem; letter-spacing: -.02em }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; letter-spacing: -.01em }
h3 { font-size: 1rem; margin: 0 0 .25rem }
p { max-width: 44rem; margin: .5rem 0 } .lead { font-size: 1.1rem } .soft, caption, figcaption { color: var(--soft) }
code { font: .88em ui-monospace, monospace; background: var(--rule); padding: .1em .35em; border-radius: .25em; overflow-wrap: anywhere }
.warn { border-left: 4px solid var(--warn); background: var(--warn-back); padding: .6rem .9rem; border-radius: 0 .4rem .4rem 0; max-width: none }
.warn b, .verdict { color: var(--warn); font-weight: 600 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .5rem 0; font-size: .95rem } dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: .95rem; font-variant-numeric: tabular-nums }
caption { text-align: left; font-size: .85rem; padding: .25rem 0 } th, td { text-align: left; padding: .5rem .8rem .5rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; white-space: nowrap }
thead th { font-size: .85rem; color: var(--soft); font-weight: 500; white-space: normal; vertical-align: bottom } tbody th { font-weight: 600; white-space: normal; min-width: 7rem; position: sticky; left: 0; background: var(--page) } th small, td small { display: block; font-weight: 400; color: var(--soft); font-size: .82rem }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .5em } .key.s0 { background: var(--s0) } .key.s1 { background: var(--s1) } .key.s2 { background: var(--s2) } .key.s3 { background: var(--s3) }
table.heat { border-collapse: separate; border-spacing: 2px; width: auto } .heat td { text-align: center; padding: .55rem } .heat td small { color: inherit }
details { margin: .75rem 0 } summary { cursor: pointer; color: var(--soft); font-size: .9rem }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem; padding: .9rem; margin: 0; min-width: 0 }
.chart { width: 100%; height: auto; display: block; font: 13px system-ui, sans-serif }
.chart text { fill: var(--soft) } .grid { stroke: var(--rule) } .line { fill: none; stroke-width: 2.25 } .band { opacity: .16; stroke: none } .leader { fill: none; stroke-width: 1; opacity: .6 }
.s0 .line, .s0 .leader { stroke: var(--s0) } .s1 .line, .s1 .leader { stroke: var(--s1) } .s2 .line, .s2 .leader { stroke: var(--s2) } .s3 .line, .s3 .leader { stroke: var(--s3) }
.s0 .mark, .band.s0 { fill: var(--s0) } .s1 .mark, .band.s1 { fill: var(--s1) } .s2 .mark, .band.s2 { fill: var(--s2) } .s3 .mark, .band.s3 { fill: var(--s3) }
.s0 .line { stroke-dasharray: 6 4 } .chart .s0 .name { fill: var(--s0) } .chart .s1 .name { fill: var(--s1) } .chart .s2 .name { fill: var(--s2) } .chart .s3 .name { fill: var(--s3) } .name { font-weight: 600 }
.tiles { display: grid; gap: .5rem .4rem; align-items: start } .tiles > b { font-size: .8rem; font-weight: 600; align-self: end; overflow-wrap: anywhere; line-height: 1.25 } .tiles > b.row { grid-column: 1 / -1; color: var(--soft); font-weight: 500; margin-top: .25rem }
.tile { margin: 0; min-width: 0 } .tile svg { width: 100%; height: auto; display: block; background: #fff; border-radius: .25rem; border: 1px solid var(--rule) } .tile image { image-rendering: pixelated } .tile figcaption { font-size: .78rem; line-height: 1.25; margin-top: .2rem; overflow-wrap: anywhere }
.halo, .outline { fill: none; vector-effect: non-scaling-stroke } .halo { stroke: #fff; stroke-width: 2.4 } .outline { stroke: #111; stroke-width: 1 }
.right { color: var(--good) } .wrong { color: var(--bad) } footer { margin-top: 3rem; color: var(--soft); font-size: .85rem }
@media print { .pair { grid-template-columns: 1fr 1fr } .card { break-inside: avoid } details::details-content { content-visibility: visible; block-size: auto } .scroll { overflow: visible }
  :root { color-scheme: light } table, th small, td small { font-size: .7rem } td { overflow-wrap: anywhere } th, td, tbody th { white-space: normal; min-width: 0; padding-right: .4rem; position: static } }
`);
