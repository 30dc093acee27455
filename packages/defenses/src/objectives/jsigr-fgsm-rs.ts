import { fgsmParts, fgsmShape } from './fgsm-rs.ts';
import { ballRule } from './inner-attack.ts';
import { bindJsigr, jsigrRules, jsigrShape } from './jsigr.ts';
import { defineObjective } from './objective.ts';
import { withRules } from './settings.ts';

/** Both at once: the whole loss of J-SIGR (its masks too) on the examples of one FGSM step from a random start. */
export const jsigrFgsm = defineObjective({
  name: 'jsigr-fgsm-rs',
  summary:
    'J-SIGR on examples of one FGSM step from a random start: the regulariser and cheap adversarial training together',
  source: 'ours: arXiv 2207.13036 and arXiv 2001.03994 together',
  settings: withRules({ ...jsigrShape, ...fgsmShape }, [...jsigrRules, ballRule]),
  bind: (settings) => ({ ...bindJsigr(settings), ...fgsmParts(settings) }),
});
