import { expect, test } from 'vitest';
import { settingsFromText } from './settings.ts';

test('settings that came as text get their types', () => {
  expect(settingsFromText({ steps: '10', loss: 'margin', randomStart: 'false', stepSize: '1e-2', empty: '' })).toEqual({
    steps: 10,
    loss: 'margin',
    randomStart: false,
    stepSize: 0.01,
    empty: '',
  });
});
