"""The style sheet of reports."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #222; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2, summary { font-size: 1.2rem; font-weight: 600; margin: 2rem 0 0.6rem; border-bottom: 1px solid #ddd; }
summary { cursor: pointer; }
p, li { max-width: 75ch; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.15rem 1rem; }
dt { color: #555; overflow-wrap: anywhere; max-width: 24rem; }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.scroll { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #e5e5e5; text-align: left; }
th { border-bottom-color: #888; vertical-align: bottom; }
th.number, td.number { text-align: right; }
td.number { white-space: nowrap; }
td.long { min-width: 11rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 1rem;
  align-items: start; }
figure { margin: 0; min-width: 0; }
figure.wide { grid-column: 1 / -1; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
.note { margin: 0.3rem 0; color: #555; font-size: 0.85rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; margin: 0.2rem 0; padding: 0;
  list-style: none; font-size: 0.85rem; }
.legend span { display: inline-block; width: 1.4em; height: 0; border-top: 3px solid;
  margin-right: 0.4em; vertical-align: middle; }
.legend b { margin-right: 0.4em; }
.legend span.dots { width: 0.6em; height: 0.6em; border: 0; border-radius: 50%;
  background: currentColor; opacity: 0.6; }
.legend span.area { width: 0.9em; height: 0.9em; border: 0; background: currentColor; }
.network { max-width: 420px; }
.network .end { text-align: center; color: #555; font-size: 0.85rem; }
.layer { border: 1px solid #888; border-radius: 6px; padding: 0.3rem 0.7rem 0.5rem; margin: 0.3rem 0; }
.size { font-size: 0.88rem; }
.bar { height: 6px; background: #e5e5e5; border-radius: 3px; }
.bar i { display: block; height: 100%; background: #0072B2; border-radius: 3px; }
"""
