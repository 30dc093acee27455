export { type IntervalRow, type Intervals, intervalPlot } from './intervals.ts';
export { type Scatter, type ScatterAxis, type ScatterPoint, scatterPlot } from './scatter.ts';
