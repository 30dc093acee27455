export { writeEvidence } from './evidence.ts';
export type { Ball, Profile, Recipe, StudyObjective } from './profile.ts';
export { profiles, type StudyProfile } from './profiles.ts';
export { type ReproduceOptions, reproduce } from './reproduce.ts';
export { NotMade } from './study-context.ts';
