import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What `npm run test:images` has built. */
interface Images {
  /** tests/images/run-image.sh */
  readonly runner: string;
  readonly images: Readonly<Record<string, { readonly root: string; readonly command: readonly string[] }>>;
}

const root = fileURLToPath(new URL('../../../', import.meta.url));
const { JSIGR_TEST_IMAGES: built } = process.env;
const images = built ? (JSON.parse(built) as Images) : undefined;

/** The command of a service: of this checkout, or of its image where JSIGR_TEST_IMAGES says so. @param folder what the process shares with the tests */
export function programOf(kind: 'gateway' | 'trainer' | 'attacker' | 'explainer', folder: string): readonly string[] {
  if (!images) return [process.execPath, join(root, kind === 'gateway' ? '' : 'services', kind, 'dist/main.js')];
  const image = images.images[kind];
  if (!image) throw new Error(`there is no image of the ${kind}`);
  return [images.runner, image.root, folder, ...image.command];
}
