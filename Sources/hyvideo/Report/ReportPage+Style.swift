// What a report looks like, and its one button.

extension ReportPage {
  static let style = """

    :root { --page: #fbfbfa; --card: #ffffff; --text: #1d2126; --soft: #626b76; --line: #e2e5e9; --bar: #2f6fb2;
      --mark: #c8641b; --warn: #fff6e0; }
    @media (prefers-color-scheme: dark) { :root { --page: #15181c; --card: #1c2025; --text: #e6e8ea; --soft: #9aa4af;
      --line: #31373e; --bar: #6aa5e3; --mark: #eb9a55; --warn: #33290f; } }
    * { box-sizing: border-box; }
    body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--page); color: var(--text);
      font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
    h1 { font-size: 1.6rem; line-height: 1.25; margin: .2rem 0 1rem; text-wrap: balance; overflow-wrap: anywhere; }
    h2 { font-size: 1.05rem; margin: 2.2rem 0 .7rem; }
    h3 { font-size: .85rem; font-weight: 600; color: var(--soft); margin: 0 0 .6rem; }
    .small, .key, figcaption { color: var(--soft); font-size: .82rem; margin: .4rem 0 0; overflow-wrap: anywhere; }
    .facts { display: flex; flex-wrap: wrap; gap: .9rem 2.2rem; margin: 0; }
    dt { color: var(--soft); font-size: .78rem; }
    dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
    .warnings { background: var(--warn); border-left: 3px solid var(--mark); border-radius: 4px; padding: .2rem 1rem .6rem;
      margin-top: 1.5rem; }
    .warnings h2 { margin: .6rem 0 0; }
    .warnings ul { margin: .3rem 0; padding-left: 1.2rem; }
    .frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .8rem; }
    .frames figure { margin: 0; }
    .frames img, .frames video { display: block; width: 100%; border-radius: 6px; background: #000; image-rendering: pixelated; }
    .charts { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
    .charts figure { margin: 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; min-width: 0; }
    .charts .wide { grid-column: 1 / -1; }
    @media (max-width: 48rem) { .charts { grid-template-columns: 1fr; } }
    svg { display: block; width: 100%; height: auto; font-size: 12px; overflow: visible; }
    svg text { fill: var(--soft); font-variant-numeric: tabular-nums; }
    svg .strong { fill: var(--text); }
    .bar { fill: var(--bar); }
    .skipped { fill: none; stroke: var(--mark); }
    .grid { stroke: var(--line); }
    .axis { stroke: var(--soft); }
    .limit { fill: none; stroke: var(--soft); stroke-dasharray: 4 4; }
    .below { fill: none; stroke: var(--mark); stroke-width: 1.5; }
    .above { fill: var(--bar); }
    .key i { display: inline-block; width: .7rem; height: .7rem; margin: 0 .4rem -1px .9rem; border: 1.5px solid var(--mark);
      border-radius: 2px; }
    .key i:first-child { margin-left: 0; }
    .key i.full, .key i.above { background: var(--bar); border-color: var(--bar); }
    .key i.below, .key i.above { border-radius: 50%; }
    table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
    th, td { text-align: left; vertical-align: top; padding: .35rem .8rem; border-top: 1px solid var(--line);
      overflow-wrap: anywhere; }
    tr:first-child th, tr:first-child td { border-top: 0; }
    th { font-weight: 400; color: var(--soft); width: 15rem; }
    td { font-variant-numeric: tabular-nums; }
    .plan th, .plan td { width: auto; overflow-wrap: normal; }
    .plan :not(:first-child) { text-align: right; }
    .plan td:not(:first-child) { white-space: nowrap; }
    .command { display: flex; gap: .8rem; align-items: flex-start; background: var(--card); border: 1px solid var(--line);
      border-radius: 8px; padding: .8rem; }
    pre { margin: 0; flex: 1; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
    @media (max-width: 30rem) { body { padding: 1.2rem .8rem 3rem; } th { width: 38%; } th, td { padding: .35rem .5rem; }
      .plan { font-size: .82rem; } .plan th, .plan td { padding: .35rem .3rem; } .command { flex-direction: column; }
      .wide svg { font-size: 20px; } }
    button { font: inherit; font-size: .82rem; padding: .25rem .8rem; border: 1px solid var(--line); border-radius: 6px;
      background: var(--page); color: var(--text); cursor: pointer; }

    """

  /// Selects the command for people whose browser keeps pages from the clipboard.
  static let script = """

    document.querySelector('button')?.addEventListener('click', (event) => {
      const command = document.getElementById('command');
      getSelection().selectAllChildren(command);
      const done = () => { event.target.textContent = 'Copied'; };
      if (navigator.clipboard) navigator.clipboard.writeText(command.textContent).then(done, () => {});
      else if (document.execCommand('copy')) done();
    });

    """
}
