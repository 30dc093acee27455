import type { Tile, TileGrid } from './data.ts';
import { html, type Markup } from './html.ts';

/** Pictures in rows and columns, each with its caption. */
export function tileGrid({ title, columns, rows }: TileGrid): Markup {
  return html`<figure class="card"><h3>${title}</h3><div class="tiles" style="grid-template-columns: repeat(${columns.length}, minmax(0, 1fr))">
${columns.map((column) => html`<b>${column}</b>`)}
${rows.map(({ label, tiles }) => html`${label !== '' && html`<b class="row">${label}</b>`}${tiles.map(tileFigure)}`)}
</div></figure>`;
}

function tileFigure({ picture, alt, caption, correct, outline }: Tile): Markup {
  const { png, height, width } = picture;
  const source = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
  const mark =
    correct === undefined ? '' : html`<span class="${correct ? 'right' : 'wrong'}">${correct ? '✓' : '✗'}</span> `;
  return html`<figure class="tile"><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${alt}"><image width="${width}" height="${height}" href="${source}"/>${outline && html`<path class="halo" d="${outline}"/><path class="outline" d="${outline}"/>`}</svg><figcaption>${mark}${caption}</figcaption></figure>`;
}
