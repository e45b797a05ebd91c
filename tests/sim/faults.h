/* SPDX-License-Identifier: MIT */
/*
 * faults.h - what the items of a plan do that are no acts of users
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "world.h"

void faults_item(struct world *w, uint32_t k); /* item k of the plan happens */
void faults_over(struct world *w, const struct timer *t); /* its time is over */
bool faults_held(struct simnode *n); /* its brake holds something */
/* Those who hold something decide: of each one device. */
void faults_decide(struct world *w);
void faults_heal(struct world *w); /* all of them are, and what is down comes up */

#endif
