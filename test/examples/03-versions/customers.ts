/**
 * Three versions of one event at once. Each is recognised by its schema and brought to the latest, so everything behind
 * the source knows version 3 alone. What fits none is a dead letter with the reasons.
 */
import { pipeline, versions } from 'millrace';
import { z } from 'zod';

const V3 = z.object({ v: z.literal(3), id: z.string(), name: z.object({ first: z.string(), last: z.string() }) });
const V2 = z.object({ v: z.literal(2), id: z.string(), firstName: z.string(), lastName: z.string() });
const V1 = z.object({ customer_id: z.number(), full_name: z.string() });

const customer = versions(V3)
  .from(V2, old => ({ v: 3 as const, id: old.id, name: { first: old.firstName, last: old.lastName } }))
  .from(V1, old => {
    const [first = '', ...rest] = old.full_name.split(' ');
    return { v: 3 as const, id: String(old.customer_id), name: { first, last: rest.join(' ') } };
  });

export default pipeline('customers', ({ from }) => {
  from('crm.customer.changed', { schema: customer, capture: true }).keyBy('id').to('customers.changed.{partition}');
});
