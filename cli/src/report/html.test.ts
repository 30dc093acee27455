import { expect, it } from 'vitest';
import { escapeHtml, html } from './html.ts';

it('what is put into a template is escaped, unless it is markup', () => {
  const inner = html`<b>${'<script>"&\''}</b>`;
  expect(html`<p title="${'"'}">${inner}</p>`.text).toBe('<p title="&quot;"><b>&lt;script&gt;&quot;&amp;&#39;</b></p>');
});

it('lists are joined, nothing is nothing, and zero is a number', () =>
  expect(html`${[html`<i/>`, 'a', 0]}${undefined}${false}`.text).toBe('<i/>a0'));

it('all five characters that mean something are escaped', () =>
  expect(escapeHtml(`&<>"'`)).toBe('&amp;&lt;&gt;&quot;&#39;'));
