import { RunState } from '@jsigr/proto';
import { describe, expect, test } from 'vitest';
import { activeStates, isFinal, mayFollow, runStates, stateName } from './state-machine.ts';

// The whole table, by hand: rows are the state that a run is in, columns what it may become.
//                QUEUED STARTING RUNNING SUCCEEDED FAILED CANCELLED
const table = `
QUEUED           yes     yes      -        -       yes     yes
STARTING         yes     yes     yes       -       yes     yes
RUNNING          yes     yes     yes      yes      yes     yes
SUCCEEDED         -       -       -        -        -       -
FAILED            -       -       -        -        -       -
CANCELLED         -       -       -        -        -       -
`;

describe('states of a run', () => {
  for (const line of table.trim().split('\n')) {
    const [from = '', ...cells] = line.split(/\s+/);
    cells.forEach((cell, column) => {
      const to = runStates[column] ?? RunState.UNRECOGNIZED;
      test(`${from} ${cell === 'yes' ? 'may' : 'may not'} become ${stateName(to)}`, () => {
        expect(mayFollow(`RUN_STATE_${from}` as RunState, to)).toBe(cell === 'yes');
      });
    });
  }

  test('three states are final, three are not', () => {
    expect(runStates.filter(isFinal).map(stateName)).toEqual(['SUCCEEDED', 'FAILED', 'CANCELLED']);
    expect(activeStates.map(stateName)).toEqual(['QUEUED', 'STARTING', 'RUNNING']);
  });

  test('a state that this program does not know is neither final nor followed by anything', () => {
    expect(isFinal(RunState.UNRECOGNIZED)).toBe(false);
    expect(mayFollow(RunState.UNRECOGNIZED, RunState.RUN_STATE_RUNNING)).toBe(false);
  });
});
