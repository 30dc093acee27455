export type { Classifier, ImageShape } from './classifier.ts';
