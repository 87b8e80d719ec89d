// What a chart shows of a run.
import { COLOURS } from "../parts/chart.mjs";
import { word } from "../parts/words.mjs";

export function curvesOf(run) {
  const series = [
    { name: word("train.steps"), colour: "--danlu-dim", alpha: 0.5, width: 1, points: run.losses, loose: true },
    { name: word("train.average"), colour: COLOURS[0], width: 2, points: run.averages },
    { name: word("train.held_out"), colour: COLOURS[2], width: 2, dots: true, points: run.validation.held_out },
    { name: word("train.trained"), colour: COLOURS[1], dashed: true, dots: true, points: run.validation.trained },
  ];
  const marks = run.checkpoints.map((x) => ({ x, text: word("train.checkpoint") }));
  return { series: series.filter(({ points }) => points.length), marks };
}

export const chartOptions = () => ({
  legend: true,
  xName: word("train.step"),
  empty: word("train.no_step"),
  label: word("train.chart"),
});
