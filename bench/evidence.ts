// `npm run evidence` writes docs/results/evidence.md from the raw results of all studies beside it.
import { fileURLToPath } from 'node:url';
import { profiles, writeEvidence } from '@jsigr/study';

const folder = fileURLToPath(new URL('../docs/results', import.meta.url));
const studies = Object.values(profiles).flatMap(({ full, quick }) => [full, quick]);
console.log(await writeEvidence(folder, studies));
