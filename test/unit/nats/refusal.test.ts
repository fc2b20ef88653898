import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { errorOf, judgeRefusal } from '../../../lib/nats/refusal.ts';

describe('a refused append', () => {
  const judge = (code: number, errCode: number) =>
    judgeRefusal({ code, err_code: errCode, description: 'x' }, 's').kind;

  test('is moved for a wrong last sequence and for nothing else', () => {
    assert.equal(judge(400, 10071), 'moved');
    assert.equal(judge(400, 10164), 'unsure');
  });

  test('is in doubt while it may pass: busy checks, no leader, no room, too many batches', () => {
    const passing = [
      [400, 10164],
      [503, 10158],
      [503, 10008],
      [503, 10023],
      [500, 10047],
      [503, 10077],
      [400, 10176],
      [429, 10210],
    ] as const;
    for (const [code, errCode] of passing) assert.equal(judge(code, errCode), 'unsure', String(errCode));
  });

  test('throws what retrying cannot mend', () => {
    assert.throws(
      () => judge(400, 10054),
      error => isMillraceError(error, 'MESSAGE_TOO_LARGE'),
    );
    assert.throws(
      () => judge(404, 10059),
      error => isMillraceError(error, 'STREAM_MISSING'),
    );
    for (const errCode of [10174, 10109, 10060]) {
      assert.throws(
        () => judge(400, errCode),
        error => isMillraceError(error, 'BROKER_REFUSED'),
        String(errCode),
      );
    }
  });

  test('of a question is unavailable while it may pass', () => {
    assert.equal(errorOf({ code: 503, err_code: 10008 }, 'x').code, 'BROKER_UNAVAILABLE');
    assert.equal(errorOf({ code: 400 }, 'x').code, 'BROKER_REFUSED');
  });
});
