/* SPDX-License-Identifier: MIT */
/*
 * ctl_doctor.h - the parts of `smuxctl doctor`: each adds its findings, and never stops the rest.
 */
#ifndef HELPER_CTL_CTL_DOCTOR_H
#define HELPER_CTL_CTL_DOCTOR_H

#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_findings.h"
#include "helper/ctl/ctl_own_helper.h"

struct doctor {
    struct ctl_options *options; /* its `socket` is empty until the configuration has been read */
    struct findings findings;
    struct config config;
    struct route_list routes;  /* of the helper, or of the configuration if none can be asked */
    json_t *status;            /* the helper's; NULL: none answers smuxctl */
    bool same_version;         /* the helper is of this smuxctl's version */
    struct ctl_own_helper own; /* if there is no helper of the same version */
    const char *control;       /* the control socket by which gateways are asked; NULL: none */
    bool silent[CONFIG_GATEWAYS_MAX]; /* the gateway of config.gateway[i] does not answer */
    char launcher[4096];              /* path of smuxshim; empty: not found */
};

/* ---- ctl_doctor_here.c: this machine ---- */

/* Is the folder of the helper's socket safe, and open to those who are admitted? */
void doctor_folder(struct doctor *doctor);
/* How many descriptors helper and programs may have. */
void doctor_descriptors(struct doctor *doctor);
/* Of which version are the launcher, the library, the helper and this program? */
void doctor_versions(struct doctor *doctor);
/* Can the program be preloaded? */
void doctor_program(struct doctor *doctor, const char *program);

/* ---- ctl_doctor_path.c: the way to the targets ---- */

/* Does each gateway answer? */
void doctor_gateways(struct doctor *doctor);
/* Which route matches, who resolves the name, and does a connect succeed? */
void doctor_destination(struct doctor *doctor, const char *text, const char *host, uint16_t port);

#endif
