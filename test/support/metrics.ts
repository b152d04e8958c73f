/** What a metric of this process counts at this moment, whoever counted. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"

/** The sum of what counters and gauges of a name say, of those with a label of this value if one is given. */
export const metric = (name: string, label?: string): Effect.Effect<number> =>
  Effect.map(Metric.snapshot, (pairs) =>
    pairs
      .filter(({ metricKey }) => metricKey.name === name)
      .filter(({ metricKey }) => label === undefined || [...metricKey.tags].some(({ value }) => value === label))
      .reduce((sum, { metricState: state }) => {
        if (MetricState.isCounterState(state)) return sum + Number(state.count)
        return MetricState.isGaugeState(state) ? sum + Number(state.value) : sum
      }, 0)
  )
