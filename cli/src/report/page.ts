import { instant } from '../terminal/format.ts';
import { html, type Markup } from './html.ts';
import { style } from './style.ts';

export interface Page {
  readonly title: string;
  readonly heading: string;
  readonly createTime: Date;
  readonly content: Markup;
}

/** One HTML file that needs nothing else, and whose policy lets it load nothing: styles, charts and pictures are inside. */
export function page({ title, heading, createTime, content }: Page): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>jsigr: ${title}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${heading}</h1>
${content}
<footer>Made by jsigr, ${instant(createTime)} UTC. This file needs nothing from outside itself.</footer>
</main>
</body>
</html>
`.text;
}
