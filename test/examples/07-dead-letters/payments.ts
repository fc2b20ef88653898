/**
 * Payments in euros, with a mistake: its author knew of no currency but two. What makes user code throw is a dead letter,
 * and all others go on.
 */
import { pipeline } from 'millrace';

type Payment = { payment: string; amount: number; currency: string };

const RATES: Readonly<Record<string, number>> = { EUR: 1, USD: 0.9 };

function rateOf(currency: string): number {
  const rate = RATES[currency];
  if (rate === undefined) throw new Error(`no rate for ${currency}`);
  return rate;
}

export default pipeline('payments', ({ from }) => {
  from<Payment>('bank.payment.received', { capture: true })
    .map(({ payment, amount, currency }) => ({ payment, euros: amount * rateOf(currency) }))
    .keyBy('payment')
    .to('bank.euros.{partition}');
});
