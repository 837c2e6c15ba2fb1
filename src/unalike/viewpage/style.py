"""How the page looks: light and dark, narrow and wide. Colours are Okabe and Ito's; words always say the same."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #fff; --card: #f5f6f8; --text: #1b1f24; --dim: #57606a; --line: #d0d7de;
  --blue: #005a8f; --strong: #b04a00; --mark: #ffe2b3; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1e2328; --text: #e6e8ea; --dim: #9aa4ae;
  --line: #39414a; --blue: #6cbcf0; --strong: #f0a04b; --mark: #5c3f0c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 0; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--blue); }
.dim, figcaption, caption, small { color: var(--dim); }
.wide { overflow-x: auto; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem;
  margin: 1rem 0; }
header.view { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: baseline; }
code { font: .8rem/1.4 ui-monospace, monospace; color: var(--dim); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap;
  overflow-wrap: normal; }
th:first-child, td:first-child, th.word, td.word { text-align: left; }
thead th { color: var(--dim); font-weight: 600; }
table.cells { font-size: .85rem; }
table.cells th:first-child, table.cells td:first-child { max-width: 11rem; overflow: hidden; text-overflow: ellipsis;
  position: sticky; left: 0; background: var(--card); }
blockquote { margin: .3rem 0; max-width: 46rem; white-space: pre-wrap; max-height: 16rem; overflow-y: auto; }
mark { background: var(--mark); color: inherit; font-weight: 700; padding: 0 .25rem; border-radius: .2rem; }
.badge { border: 1.5px solid; border-radius: 1rem; padding: 0 .6rem; font-weight: 600; font-size: .85rem;
  white-space: nowrap; }
.fine { color: var(--blue); }
.off { color: var(--strong); }
.row { display: grid; gap: .35rem; margin: .35rem 0; max-width: 46rem; }
.row.head { color: var(--dim); font-size: .8rem; margin-top: .8rem; }
figure { margin: 0; min-width: 0; }
figure img { width: 100%; display: block; image-rendering: pixelated; border: 1px solid var(--line);
  border-radius: .2rem; }
figure.sample img { border: 2px solid var(--blue); }
figure svg { width: 100%; display: block; border: 1px solid var(--line); border-radius: .2rem; }
figure polyline { fill: none; stroke-linejoin: round; stroke-linecap: round; }
figure .under { stroke: var(--dim); stroke-width: .8; }
figure .over { stroke: var(--blue); stroke-width: 1.6; }
figcaption { font-size: .7rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
details { margin: .4rem 0; }
summary { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem .8rem; max-width: 46rem; color: var(--dim);
  font-size: .9rem; margin: .6rem 0; }
dt { font-weight: 600; }
dd { margin: 0; }
@media (max-width: 36rem) { body { padding: .6rem; } section { padding: .6rem; } table { font-size: .8rem; }
  th, td { padding: .2rem .25rem; } thead th { white-space: normal; }
  .badge { font-size: .75rem; padding: 0 .4rem; } table.cells { font-size: .75rem; }
  table.cells th:first-child, table.cells td:first-child { max-width: 6.5rem; } .row { gap: .2rem; }
  td small { display: block; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .3rem; } }
"""
