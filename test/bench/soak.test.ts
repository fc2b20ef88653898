/** The soak as a test, in seconds: what is expected of it comes out, and memory is looked at. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Closing } from '../rig/closing.ts';
import { type SoakSample, soak } from './soak-run.ts';

const closing = new Closing();
after(() => closing.run());

test('keys that come and go, windows and duplicates give the rows that are expected', async () => {
  const said: string[] = [];
  const samples: SoakSample[] = [];
  const result = await soak({
    seconds: 11,
    eventsPerSecond: 300,
    closing,
    say: text => said.push(text),
    sampled: sample => samples.push(sample),
  });
  assert.ok(result.correct, said.join('\n'));
  assert.ok(result.rows > 500, `${result.rows} rows prove little`);
  assert.equal(result.worker.verdict, 'short');
  for (const { workerMb, brokerMb } of samples) assert.ok(workerMb > 10 && brokerMb > 1);
});
