/** Threads of each kind of worker. */
export interface ThreadPlan {
  /** A training run that nothing runs beside. */
  readonly trainer: number;
  /** A training run with an attacker beside it, and that attacker. */
  readonly trainerInLoop: number;
  readonly attackerInLoop: number;
  /** An evaluation. */
  readonly attacker: number;
  readonly explainer: number;
}

/** More threads do not answer one small image any sooner. */
const EXPLAINER_AT_MOST = 4;

/** A loop's attacker gets one core in four, at least one; its trainer gets the rest, at least one. */
export function threadPlan(cores: number): ThreadPlan {
  const attackerInLoop = Math.max(1, Math.floor(cores / 4));
  return {
    trainer: cores,
    trainerInLoop: Math.max(1, cores - attackerInLoop),
    attackerInLoop,
    attacker: cores,
    explainer: Math.min(cores, EXPLAINER_AT_MOST),
  };
}
