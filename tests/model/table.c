/* What `decide` of roles.pml looks into; read at the start from a file that table.py writes, so that one
 * pan runs every table of rules and every mutant. */
#include <stdio.h>
#include <stdlib.h>

#define VM_VIEWS (7 * 8 * 2 * 4 * 2 * 2 * 2 * 2 * 2 * 3 * 2)

enum { WHOLE, NO_LEASE, NO_FENCE, SAME_EPOCHS, OLD_EPOCH, NO_LISTENING_ANEW, MUTANTS };

static unsigned char vm_settings[5], vm_becomes[VM_VIEWS], vm_rules[VM_VIEWS], vm_decided[256];
static unsigned char vm_mutant[MUTANTS], vm_keeps[MUTANTS];
#define vm_trouble vm_settings[0]
#define vm_cold vm_settings[1]
#define vm_watched vm_settings[2]
#define vm_repaired vm_settings[4]

/* Hidden variables of roles.pml. */
extern unsigned char v_me, v_peer, v_publisher, v_services, v_peer_works, v_sought, v_merged, v_wanted,
    v_peer_wanted, v_gave, v_peer_late, become, rule;

static void vm_load(void) {
  FILE *file = fopen("table.bin", "rb");
  if (!file || fread(vm_settings, sizeof vm_settings, 1, file) != 1 ||
      fread(vm_becomes, VM_VIEWS, 1, file) != 1 || fread(vm_rules, VM_VIEWS, 1, file) != 1) {
    fprintf(stderr, "table.bin cannot be read\n");
    exit(2);
  }
  fclose(file);
  for (int which = 0; which < MUTANTS; which++)
    vm_keeps[which] = !(vm_mutant[which] = which == vm_settings[3]);
}

/* Notes each rule the first time that it decides. */
static void vm_decide(void) {
  int view = v_me;
  view = view * 8 + v_peer;
  view = view * 2 + v_publisher;
  view = view * 4 + v_services;
  view = view * 2 + v_peer_works;
  view = view * 2 + v_sought;
  view = view * 2 + v_merged;
  view = view * 2 + v_wanted;
  view = view * 2 + v_peer_wanted;
  view = view * 3 + v_gave;
  view = view * 2 + v_peer_late;
  become = vm_becomes[view];
  rule = vm_rules[view];
  if (!vm_decided[rule]) {
    FILE *file = fopen("decided", "a");
    vm_decided[rule] = 1;
    fprintf(file, "%d\n", rule);
    fclose(file);
  }
}
