// Wheels to guess on: that of the model's own emotions, and Plutchik's, to which some convert with a loss.

// A wheel: { emotions: as the service describes them, read: the model's answer in its words, lost }
export const ownWheel = (model) => ({ emotions: model.emotions, read: (answer) => answer, lost: null });

// None for a model whose emotions do not convert, or are Plutchik's.
export function plutchikWheel(model, { to_plutchik: conversions, plutchik: emotions }) {
  const conversion = conversions[model.name];
  if (!conversion) return null;
  // As report/wheel.py does it: what has no counterpart is dropped, and not spread over the others.
  const read = (answer) => {
    const sums = Object.fromEntries(emotions.map(({ name }) => [name, 0]));
    for (const [word, value] of Object.entries(answer)) {
      if (conversion.words[word]) sums[conversion.words[word]] += value;
    }
    return sums;
  };
  return { emotions, read, lost: conversion.lost };
}
