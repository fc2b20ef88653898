/** Three payments, one in a currency that is new. */
import type { Message } from '../publish.ts';

export default [
  { subject: 'bank.payment.received', data: { payment: 'P-1', amount: 10, currency: 'EUR' } },
  { subject: 'bank.payment.received', data: { payment: 'P-2', amount: 500, currency: 'NOK' } },
  { subject: 'bank.payment.received', data: { payment: 'P-3', amount: 20, currency: 'USD' } },
] satisfies Message[];
