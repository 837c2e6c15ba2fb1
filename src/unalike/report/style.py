"""How a report looks: the style of pages of views, and what charts need besides."""

from __future__ import annotations

from unalike.viewpage.style import STYLE as _PAGES

STYLE = (
    _PAGES
    + """
:root { --k0: #0072b2; --k1: #d55e00; --k2: #00805d; --k3: #a8527f; --shade: #0072b21f; }
@media (prefers-color-scheme: dark) { :root { --k0: #56b4e9; --k1: #f08a3c; --k2: #2fbf94; --k3: #dd93bb;
  --shade: #56b4e92e; } }
html { -webkit-text-size-adjust: 100%; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .6rem 0; }
nav a { padding: .25rem 0; }
section > h2 { margin-bottom: .5rem; }
h3 { font-size: 1rem; margin: .9rem 0 .2rem; }
ul.said { padding-left: 0; list-style: none; margin: .4rem 0; max-width: 46rem; }
ul.said li { padding-left: 1.6rem; position: relative; margin: .4rem 0; }
ul.said li::before { position: absolute; left: 0; font-weight: 700; }
ul.said li.good::before { content: "✓"; color: var(--k0); }
ul.said li.bad::before { content: "▲"; color: var(--strong); }
ul.said li.note::before { content: "·"; color: var(--dim); left: .3rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: .8rem 0; }
.cards div { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .7rem; background: var(--page); }
.cards b { display: block; font-size: 1.35rem; line-height: 1.2; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: .8rem 1.2rem; }
.charts > figure, figure.chart { max-width: 34rem; }
figure.chart svg { border: 0; overflow: visible; }
figure.chart figcaption, .shown figcaption { white-space: normal; overflow: visible; font-size: .8rem; }
figure.chart b { font-size: .9rem; }
svg text { fill: var(--dim); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); stroke-width: .6; }
svg .limit { stroke: var(--text); stroke-width: 1.3; stroke-dasharray: 5 3; }
svg .limit-name { fill: var(--text); paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
svg .shade { fill: var(--shade); stroke: none; }
figure svg polyline { fill: none; stroke-width: 1.7; vector-effect: non-scaling-stroke; }
svg .k0 { stroke: var(--k0); } svg .k1 { stroke: var(--k1); stroke-dasharray: 6 3; }
svg .k2 { stroke: var(--k2); stroke-dasharray: 2 3; } svg .k3 { stroke: var(--k3); stroke-dasharray: 8 3 2 3; }
svg .thin { stroke: var(--dim); stroke-width: 1; }
svg .heavy { stroke: var(--k1); stroke-width: 3; stroke-dasharray: none; }
svg .f0 { fill: var(--k0); stroke: none; } svg .f1 { fill: var(--k1); stroke: none; }
svg .f2 { fill: var(--k2); stroke: none; }
svg .o0, svg .o1, svg .o2 { fill: none; stroke-width: 1.3; }
svg .o0 { stroke: var(--k0); } svg .o1 { stroke: var(--k1); } svg .o2 { stroke: var(--dim); }
svg .soft { opacity: .55; }
svg.swatch { display: inline-block; width: 1.7rem; height: .9rem; vertical-align: -.1rem; border: 0;
  margin-right: .3rem; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem .9rem; }
.legend span { white-space: nowrap; }
details.shown { border-top: 1px solid var(--line); padding: .5rem 0; margin: 0; }
details.shown > summary { font-weight: 600; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(8.5rem, 45%), 1fr)); gap: .5rem;
  margin: .5rem 0; max-width: 52rem; }
.pictures img { max-height: 16rem; object-fit: contain; background: var(--page); }
.smooth img { image-rendering: auto; }
figure.odd img { border: 2px solid var(--k1); }
.bar { display: inline-block; height: .65rem; background: var(--k1); border-radius: .1rem; vertical-align: baseline; }
table.cells td.odd { font-weight: 700; }
table.words { font-size: .8rem; }
table.words td, table.words th { text-align: left; vertical-align: top; }
table.words td { white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
table.words td:first-child, table.words td:last-child { white-space: nowrap; min-width: 0; }
pre { background: var(--page); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem; overflow-x: auto;
  font: .8rem/1.45 ui-monospace, monospace; white-space: pre; }
.steps { display: grid; grid-template-columns: 3fr 2fr; gap: .3rem .8rem; max-width: 52rem; margin: .3rem 0; }
blockquote { border-left: 3px solid var(--line); padding-left: .8rem; }
@media (max-width: 36rem) { .steps { grid-template-columns: 1fr; } .steps .usual { max-width: 66%; }
  .cards b { font-size: 1.15rem; }
  h1 { font-size: 1.35rem; } }
@media print { details.shown { break-inside: avoid; } }
"""
)
